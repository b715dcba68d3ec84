/* The expansion language of main.cf, also used for reply templates and paths
 * (default_rbl_reply, forward_path, mailbox_command, ...):
 *   $name ${name} $(name)      value; nothing when undefined
 *   ${name?text} ${name:text}  text if name is non-empty / empty
 *   ${name?{text}:{text}}      one or the other
 *   ${{a} op {b} ? {x} : {y}}  comparison; without ? and : "true" or nothing.
 *                              op is == != < <= > >=, numerical if both sides are
 *                              digits, or one of these with "level" behind it,
 *                              which compares version numbers such as 3.6
 *   $$                         a dollar sign
 * Texts are expanded in turn; looked-up values are not: the look-up does that. */
#ifndef GLOBAL_MACRO_H
#define GLOBAL_MACRO_H

#include "util/err.h"
#include "util/strbuf.h"

struct macro_source {
    /* *value_out: the text, borrowed until the end of the expansion, or NULL when
     * undefined. False with err stops the expansion. */
    bool (*lookup)(void *ctx, struct span name, const char **value_out,
                   struct err *err);
    void *ctx;
};

/* Append the expansion to out. False with err (bad syntax, texts nested more than
 * 100 deep, result above 16 MiB, look-up failed); out then holds a part. */
bool macro_expand(struct strbuf *out, struct span text,
                  const struct macro_source *source, struct err *err);

/* Compare "3.11" with "3.6" number by number: one to three numbers, missing ones
 * are 0. False with err when malformed. *order_out <0, 0, >0. */
bool macro_level_compare(struct span a, struct span b, int *order_out, struct err *err);

#endif
