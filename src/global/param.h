/* The built-in parameter table, generated from src/global/param/ (one record a
 * parameter). Only config and postconf need it; programs use the typed fields of
 * struct config. */
#ifndef GLOBAL_PARAM_H
#define GLOBAL_PARAM_H

#include "util/span.h"

enum param_kind { PARAM_STR, PARAM_RAW, PARAM_INT, PARAM_LONG, PARAM_BOOL, PARAM_TIME };

enum param_flag {
    PARAM_DYNAMIC = 1,   /* the default holds '$': evaluated when loaded */
    PARAM_COMPUTED = 2,  /* no default text: asked from the host (config_host.c) */
    PARAM_READONLY = 4,  /* settings in main.cf have no effect */
    PARAM_LEGACY = 8,    /* old name: known, but not listed, and has no field */
    PARAM_GATEPOST = 16, /* not known to other mail systems */
};

struct param_row {
    const char *name;
    const char *text;      /* default, exactly as postconf -d prints it */
    int64_t number;        /* the default of a constant int, bool or time */
    int64_t min, max;      /* of the value (str, raw: of the length); 0 is no bound */
    const char *programs;  /* who reads it, separated by blanks */
    const char *successor; /* what to use instead of this old name, or NULL */
    uint32_t offset;       /* of the field in struct config */
    uint8_t kind;          /* enum param_kind */
    uint8_t flags;         /* enum param_flag */
    char unit;             /* PARAM_TIME: assumed when the value has none */
};

/* Sorted by name, bytewise; the first param_count have a field, then come
 * param_legacy_count old names. */
extern const struct param_row param_table[];
extern const size_t param_count, param_legacy_count;
/* Patterned parameters, named <prefix><name>. */
extern const struct param_row param_patterns[];
extern const size_t param_pattern_count;

/* NULL when name is not built in. */
const struct param_row *param_find(struct span name);
/* The built-in name that somebody who wrote this one may have meant, or NULL. */
const char *param_suggest(struct span name);
/* The pattern whose suffix ends name (with a prefix before it), or NULL. */
const struct param_row *param_find_pattern(struct span name);

#endif
