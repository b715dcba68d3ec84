/* Entries of a large source in the order of their keys: an index that is filled in
 * order is built faster, and is smaller, so that look-ups touch less memory. */
#ifndef POSTMAP_SORTED_H
#define POSTMAP_SORTED_H

#include "util/arena.h"

struct sorted_entry {
    uint64_t head[2]; /* of the key, in big-endian order */
    struct span key, value;
    size_t number;  /* place in the source */
    bool duplicate; /* another one with this key counts */
};

struct sorted {
    struct sorted_entry *entries;
    size_t count, room;
    struct arena *arena; /* for copies */
};

void sorted_init(struct sorted *all);
void sorted_free(struct sorted *all);
/* Copies what does not lie within stable. */
void sorted_add(struct sorted *all, struct span stable, struct span key,
                struct span value);
/* Sort by key, and mark all but the first (last: the last) of equal keys. */
void sorted_by_key(struct sorted *all, bool last);
/* Back into the order of the source. */
void sorted_by_number(struct sorted *all);

#endif
