/* Survive what an index file can do to the process that has it mapped.
 *
 * Two things cannot be prevented by checking first. A mapped file that another program
 * cuts off turns the next access into SIGBUS, at any time. And the library ends the
 * process when an assertion of its own fails, unless a callback leaves in another way;
 * there is no way back into it. So accesses run inside lmdb_guard: a fault or an
 * assertion ends the call, and only it, with a result. This is the one place of the
 * project that uses siglongjmp; why that is sound:
 * - fn only reads the map, or calls the library on an environment that is never touched
 *   again after a fault (lmdb_guard_abandon); it takes no lock of this process,
 *   allocates nothing that must be freed, and does not switch fibers.
 * - The jump is taken by the thread whose guard is armed, for SIGBUS or SIGSEGV that
 * the kernel raised at an address inside the guarded area, or (guarding the library)
 * for any SIGBUS, which only mapped files cause, and for an access through a null
 * pointer. Every other signal gets the action that was there before: a bug still
 * crashes. */
#ifndef TABLE_LMDB_GUARD_H
#define TABLE_LMDB_GUARD_H

#include <lmdb.h>

#include "util/base.h"

enum guard_result {
    GUARD_OK,
    GUARD_FAULT,     /* the file is shorter than it says */
    GUARD_ASSERTION, /* the library found something that it holds for impossible */
};

/* Cheap when the handlers are there already; call whenever a file is opened. */
void lmdb_guard_install(void);
/* base NULL: guard a call of the library. Not nested. */
enum guard_result lmdb_guard(void (*fn)(void *arg), void *arg, const void *base,
                             size_t size);
/* For mdb_env_set_assert. */
void lmdb_guard_on_assert(MDB_env *env, const char *text);
/* Keep the memory of an environment whose state is unknown, untouched, for ever. */
void lmdb_guard_abandon(MDB_env *env);

#endif
