/* Read-only view of an LMDB file, format version 1: the tree walked in a mapping of our
 * own, with every page and every node checked before it is believed. The library trusts
 * its pages; a damaged file makes it stop at an assertion, follow null pointers or read
 * far outside of the page. Here damage is a result, walks are bounded by the depth that
 * the file states (32 at most), and a page that is not what its place says is found by
 * the number that each page carries. What no reader can see, the format having no
 * checksums, is a changed byte inside a key or a value.
 *
 * Reading takes no lock. Commit number T reuses pages that were given up by commit T-2
 * and before, and writes one of the two meta pages, in turn. So what belongs to commit
 * S stays as it is until the transaction after S+2 starts to write, and both S+1 and
 * S+2 have changed a meta page before. A reader that finds the commit numbers of both
 * meta pages the same before and after it has read (lmdb_view_is_current) has therefore
 * read commit S and nothing else, however slow it was.
 *
 * The meta pages themselves are read three times with the same result
 * (lmdb_view_refresh). A writer changes one of the two by one short write, whose last
 * bytes are the commit number. The first look has shown number S of the newer one, so
 * the second one, which is used, finds all of S there; the third has shown the other
 * one still at S-1, so nobody had begun to write S+2 over S before. A lock would not
 * do: other programs rewrite a whole table while they hold a shared one.
 *
 * The mapping may become invalid at any time when another program cuts the file off:
 * look-ups must run inside lmdb_guard with base and size of the map. */
#ifndef TABLE_LMDB_VIEW_H
#define TABLE_LMDB_VIEW_H

#include "util/err.h"
#include "util/span.h"

struct lmdb_tree {
    size_t root; /* SIZE_MAX: empty */
    unsigned depth;
    size_t overflow; /* pages of large values */
};

struct lmdb_view {
    const unsigned char *map; /* NULL: closed */
    size_t map_size;
    size_t page_size;
    size_t txnid[2];  /* of both meta pages, when they were read */
    size_t last_page; /* highest page number that was ever in use */
    size_t file_size; /* when the meta pages were read */
    size_t used;      /* pages that the trees say they have */
    struct lmdb_tree data, free_list;
};

enum view_status {
    VIEW_OK,
    VIEW_NONE,    /* no such key, or no further one */
    VIEW_DAMAGED, /* a page is not what it should be */
    VIEW_RETRY,   /* refresh: cut off, or a writer never comes to rest */
};

/* Map the file behind fd. err says why not. view is zeroed, or closed. */
enum view_status lmdb_view_open(struct lmdb_view *view, int fd, const char *path,
                                struct err *err);
void lmdb_view_close(struct lmdb_view *view);
/* Read the meta pages again; the map may move. */
enum view_status lmdb_view_refresh(struct lmdb_view *view, int fd, const char *path,
                                   struct err *err);
bool lmdb_view_is_current(const struct lmdb_view *view);
/* Bytes that the file must have: it never becomes shorter. */
size_t lmdb_view_file_size(const struct lmdb_view *view);

/* Values are borrowed from the map. */
enum view_status lmdb_view_find(const struct lmdb_view *view, struct span key,
                                struct span *value_out);
/* The first key behind after, or with after.ptr NULL of all. */
enum view_status lmdb_view_next(const struct lmdb_view *view, struct span after,
                                struct span *key_out, struct span *value_out);

/* Before the library changes something: is everything sound that it will rely on?
 * check_path: the pages that lead to key, with neighbours also those beside them,
 * which deleting may join, and its value.
 * check_free: the list of free pages, and that there are no more pages used and free
 * than the file has. */
enum view_status lmdb_view_check_path(const struct lmdb_view *view, struct span key,
                                      bool neighbours);
enum view_status lmdb_view_check_free(const struct lmdb_view *view);

#endif
