/* Tables and lists of tables as main.cf names them: table.h and maps.h with the
 * settings of a configuration. */
#ifndef GLOBAL_MAIL_TABLE_H
#define GLOBAL_MAIL_TABLE_H

#include "global/config.h"
#include "table/maps.h"
#include "table/table.h"

/* Lives as long as cfg. */
const struct table_env *mail_table_env(const struct config *cfg);
/* The same, but no index is built for what has none: to look at tables as they are. */
const struct table_env *mail_table_env_as_is(const struct config *cfg);
/* Flags that the configuration asks for: TABLE_UTF8. */
unsigned mail_table_flags(const struct config *cfg);
/* mail_maps(cfg, "canonical_maps", cfg->canonical_maps); never NULL. */
struct maps *mail_maps(const struct config *cfg, const char *title, const char *names);

#endif
