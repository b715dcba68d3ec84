/* Values in the documents that a MongoDB server returned. */
#ifndef TABLE_PLUGINS_MONGODB_VALUE_H
#define TABLE_PLUGINS_MONGODB_VALUE_H

#include <bson/bson.h>

#include "table/backend.h"

/* Add what doc has of fields: names separated by commas and white space, in their
 * order; "a.b" is b in the document, or in each document of the array, a. Empty fields:
 * all that doc has. Arrays and documents give each of their values. Null and what is
 * not there give none; what is not text, a number, a truth value or an object id is
 * left out with a warning in err. False with err: see backend_result_add, or a
 * malformed document. */
bool mongodb_values(struct backend_result *result, const bson_t *doc,
                    struct span fields, struct err *err);

#endif
