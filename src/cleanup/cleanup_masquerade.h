/* Masquerading: addresses below a domain become addresses at that domain. */
#ifndef CLEANUP_CLEANUP_MASQUERADE_H
#define CLEANUP_CLEANUP_MASQUERADE_H

#include "cleanup/cleanup_map.h"

struct masquerade;

/* classes: of addresses that masquerade_classes names. */
struct masquerade *masquerade_new(const struct config *cfg, unsigned classes,
                                  struct arena *arena);
void masquerade_free(struct masquerade *mq);
bool masquerade_touches(const struct masquerade *mq, enum address_class class);
/* False: the list of exceptions could not be searched. */
bool masquerade_apply(const struct masquerade *mq, enum address_class class,
                      const char *address, struct arena *arena,
                      const char **result_out);

#endif
