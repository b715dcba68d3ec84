/* The filter of a mongodb: table: JSON that is read once, with %-macros in its strings.
 * A key is put into strings of the document that was read, never into text that is yet
 * to be read, so it cannot change the structure of a filter, whatever it holds.
 *
 * Macros may stand in strings that are compared; in a regular expression what is put in
 * stands for itself. They are refused where a string means more than itself: in names
 * of fields, in program text ($where, $function, $accumulator, $code) and in
 * expressions
 * ($expr, where "$x" is a field) outside of $literal. */
#ifndef TABLE_PLUGINS_MONGODB_FILTER_H
#define TABLE_PLUGINS_MONGODB_FILTER_H

#include <bson/bson.h>

#include "table/backend.h"

/* One JSON object (extended JSON is understood) and nothing behind it. NULL with err.
 * To be given to bson_destroy. */
bson_t *mongodb_json(const char *text, struct err *err);
/* The same with macros in it. */
bson_t *mongodb_filter_parse(const char *text, struct err *err);
/* The filter for key, which is UTF-8 without NUL. NULL: key lacks a part that the
 * filter needs. To be given to bson_destroy. */
bson_t *mongodb_filter_expand(const bson_t *template, struct span key);

#endif
