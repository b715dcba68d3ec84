/* Address tables of cleanup: canonical mapping, masquerading, virtual aliases, bcc.
 * Results are internal addresses that live in the given arena. */
#ifndef CLEANUP_CLEANUP_MAP_H
#define CLEANUP_CLEANUP_MAP_H

#include "global/addr_find.h"

enum address_class {
    CLASS_ENVELOPE_SENDER = 1,
    CLASS_ENVELOPE_RCPT = 2,
    CLASS_HEADER_SENDER = 4,
    CLASS_HEADER_RCPT = 8,
};
#define CLASS_SENDER (CLASS_ENVELOPE_SENDER | CLASS_HEADER_SENDER)

struct cleanup_maps;

/* May take long and exit with a message: for start-up. */
struct cleanup_maps *cleanup_maps_open(const struct config *cfg, struct arena *arena);
void cleanup_maps_close(struct cleanup_maps *cm);
/* Name of a table that has changed on disk, or NULL. */
const char *cleanup_maps_changed(const struct cleanup_maps *cm);

/* Can canonical mapping or masquerading touch an address of this class at all? */
bool cleanup_maps_touch(const struct cleanup_maps *cm, enum address_class class);

enum mapping_status {
    MAPPING_OK,
    MAPPING_RETRY, /* a table failed */
    MAPPING_LIMIT, /* expansion limits exceeded: logged */
};

/* Sender or recipient specific map, then the common one, repeatedly; after that
 * masquerading. rewrite: makes what a table gave a full address; NULL on trouble. */
struct cleanup_rewriter {
    const char *(*rewrite)(void *arg, struct span address, struct arena *arena);
    void *arg;
    const char *queue_id; /* for messages */
};
enum mapping_status cleanup_map_canonical(struct cleanup_maps *cm,
                                          const struct cleanup_rewriter *rw,
                                          const char *address, enum address_class class,
                                          struct arena *arena, const char **result_out);

/* All addresses that the recipient stands for, itself if it is no alias. */
enum mapping_status cleanup_map_virtual(struct cleanup_maps *cm,
                                        const struct cleanup_rewriter *rw,
                                        const char *address, struct arena *arena,
                                        const char ***list_out, size_t *count_out);

/* bcc address for a sender or recipient; NULL: none. */
enum mapping_status cleanup_map_bcc(struct cleanup_maps *cm, enum address_class class,
                                    const char *address, struct arena *arena,
                                    const char **result_out);

#endif
