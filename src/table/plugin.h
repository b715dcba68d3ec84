/* Kinds of tables in files of their own: a plug-in is gatepost-TYPE.so with one
 * exported symbol, gatepost_table_plugin. A plug-in carries its own copies of the few
 * pure files of util and table that it needs (Makefile: PLUGIN_SRC) and reaches the
 * program only through struct table_host: no loop, no fibers, no log. Warnings go into
 * the err of a call that succeeds (table_type.h). */
#ifndef TABLE_PLUGIN_H
#define TABLE_PLUGIN_H

#include "table/table_type.h"

/* To be raised with any change of the structures here, in table.h and table_type.h. */
#define TABLE_PLUGIN_ABI 1

/* What a plug-in may ask of the program. */
struct table_host {
    /* As in table.h, for the thread that opens the table. */
    struct table *(*open)(const struct table_env *env, const char *name,
                          enum table_mode mode, unsigned flags, struct err *err);
    void (*close)(struct table *table);
    /* table_lookup_inner; on any thread, one at a time for each table. */
    enum table_status (*lookup)(struct table *inner, struct span key,
                                struct strbuf *value, struct err *err);
    void (*watch)(struct table *table, int fd); /* table_watch */
};

/* In the program: its own functions. In a plug-in: those of the program that loaded
 * it. */
const struct table_host *table_host(void);

struct table_plugin {
    unsigned abi;      /* TABLE_PLUGIN_ABI */
    size_t table_size; /* sizeof(struct table) */
    const struct table_type *type;
    void (*set_host)(const struct table_host *host);
};

#define TABLE_PLUGIN_SYMBOL "gatepost_table_plugin"

void table_plugin_set_host(const struct table_host *host); /* plugins/plugin_main.c */

/* Once in a plug-in, behind its struct table_type. */
#define TABLE_PLUGIN(type_ptr)                                                         \
    extern const struct table_plugin gatepost_table_plugin;                            \
    __attribute__((visibility("default")))                                             \
    const struct table_plugin gatepost_table_plugin = {                                \
        .abi = TABLE_PLUGIN_ABI,                                                       \
        .table_size = sizeof(struct table),                                            \
        .type = (type_ptr),                                                            \
        .set_host = table_plugin_set_host}

#endif
