#include "table/plugins/mongodb_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 100 /* as the server has it */

struct collector {
    struct backend_result *result;
    struct err *err;
    unsigned depth;
};

static bool left_out(struct collector *c, const char *name, const char *why)
{
    err_set(c->err, "value of field \"%s\" %s -- ignored", name, why);
    return true;
}

static bool add_text(struct collector *c, const char *name, struct span text)
{
    if (text.len > 0 && !span_is_utf8(text))
        return left_out(c, name, "is not UTF-8");
    return backend_result_add(c->result, text, c->err);
}

/* With as few digits as make the same number again. */
static bool add_double(struct collector *c, double value)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return backend_result_add(c->result, span_str(text), c->err);
}

static bool add_scalar(struct collector *c, bson_iter_t *at)
{
    char text[BSON_DECIMAL128_STRING];
    bson_decimal128_t decimal;
    uint32_t len;

    switch (bson_iter_type(at)) {
    case BSON_TYPE_UTF8: {
        const char *utf8 = bson_iter_utf8(at, &len);
        return add_text(c, bson_iter_key(at), span_of(utf8, len));
    }
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
        snprintf(text, sizeof text, "%" PRId64, bson_iter_as_int64(at));
        break;
    case BSON_TYPE_DOUBLE:
        return add_double(c, bson_iter_double(at));
    case BSON_TYPE_DECIMAL128:
        bson_iter_decimal128(at, &decimal);
        bson_decimal128_to_string(&decimal, text);
        break;
    case BSON_TYPE_BOOL:
        snprintf(text, sizeof text, "%s", bson_iter_bool(at) ? "true" : "false");
        break;
    case BSON_TYPE_OID:
        bson_oid_to_string(bson_iter_oid(at), text);
        break;
    case BSON_TYPE_NULL:
    case BSON_TYPE_UNDEFINED:
        return true;
    default:
        return left_out(c, bson_iter_key(at), "is of an unusable type");
    }
    return backend_result_add(c->result, span_str(text), c->err);
}

static bool is_nested(const bson_iter_t *at)
{
    return BSON_ITER_HOLDS_DOCUMENT(at) || BSON_ITER_HOLDS_ARRAY(at);
}

/* The iterator stops at the end, and at what it cannot make out. */
static bool ended_well(struct collector *c, const bson_iter_t *at)
{
    return at->err_off == 0 || err_set(c->err, "malformed document from the server");
}

static bool enter(struct collector *c, bson_iter_t *at, bson_iter_t *child)
{
    if (c->depth >= DEPTH_MAX || !bson_iter_recurse(at, child))
        return err_set(c->err, "malformed document from the server");
    c->depth++;
    return true;
}

static bool add_all(struct collector *c, bson_iter_t *at)
{
    bson_iter_t child;

    while (bson_iter_next(at)) {
        if (!is_nested(at)) {
            if (!add_scalar(c, at))
                return false;
            continue;
        }
        if (!enter(c, at, &child) || !add_all(c, &child))
            return false;
        c->depth--;
    }
    return ended_well(c, at);
}

static bool add_field(struct collector *c, bson_iter_t *at, struct span path);

/* What the rest of path names in the value at. */
static bool add_rest(struct collector *c, bson_iter_t *at, struct span path)
{
    bson_iter_t child;

    if (path.len == 0 && !is_nested(at))
        return add_scalar(c, at);
    if (!is_nested(at))
        return true;
    bool array = BSON_ITER_HOLDS_ARRAY(at);
    if (!enter(c, at, &child))
        return false;
    bool ok = true;
    if (path.len == 0)
        ok = add_all(c, &child);
    else if (!array)
        ok = add_field(c, &child, path);
    else
        while (ok && bson_iter_next(&child))
            ok = add_rest(c, &child, path);
    c->depth--;
    return ok && ended_well(c, &child);
}

static bool add_field(struct collector *c, bson_iter_t *at, struct span path)
{
    struct span name = span_cut(&path, '.');

    while (bson_iter_next(at))
        if (span_eq_str(name, bson_iter_key(at)))
            return add_rest(c, at, path);
    return ended_well(c, at);
}

bool mongodb_values(struct backend_result *result, const bson_t *doc,
                    struct span fields, struct err *err)
{
    struct collector c = {.result = result, .err = err};
    struct span name;
    bson_iter_t at;
    bool ok = true;

    if (!bson_iter_init(&at, doc))
        return err_set(err, "malformed document from the server");
    if (fields.len == 0)
        return add_all(&c, &at);
    while (ok && span_token(&fields, ", \t\r\n", &name))
        ok = bson_iter_init(&at, doc) && add_field(&c, &at, name);
    return ok;
}
