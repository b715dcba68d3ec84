#include "qmgr/qmgr.h"

#include <math.h>
#include <stdlib.h>

/* A window grows or shrinks by one when the sum of feedback reaches one. */
#define HYSTERESIS 1.0

bool feedback_parse(const char *text, double *num_out, int *kind_out)
{
    static const struct {
        const char *name;
        int kind;
    } kinds[] = {{"concurrency", FEEDBACK_CONCURRENCY},
                 {"sqrt_concurrency", FEEDBACK_SQRT}};
    struct span rest = span_str(text);
    struct span number = span_trim(span_cut(&rest, '/'));
    char buf[32], *end;

    if (number.len == 0 || number.len >= sizeof buf)
        return false;
    memcpy(buf, number.ptr, number.len);
    buf[number.len] = '\0';
    *num_out = strtod(buf, &end);
    if (*end || *num_out < 0 || *num_out > 1)
        return false;
    *kind_out = FEEDBACK_FIXED;
    if (!rest.ptr)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (span_eq_str(span_trim(rest), kinds[i].name)) {
            *kind_out = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static double amount(double num, int kind, int64_t window)
{
    switch (kind) {
    case FEEDBACK_CONCURRENCY:
        return num / (double)window;
    case FEEDBACK_SQRT:
        return num / sqrt((double)window);
    default:
        return num;
    }
}

void feedback_success(struct destination *dest)
{
    struct transport *t = dest->transport;

    dest->failed_cohorts = 0;
    if (dest->window >= t->concurrency_limit && t->concurrency_limit > 0)
        return;
    /* A window that is not filled says nothing about a larger one. */
    if (dest->busy < dest->window)
        return;
    dest->success += amount(t->positive_num, t->positive_kind, dest->window);
    if (dest->success < HYSTERESIS)
        return;
    dest->success -= HYSTERESIS;
    dest->failure = 0;
    dest->window++;
}

void feedback_failure(struct destination *dest, const struct dsn *dsn)
{
    struct transport *t = dest->transport;

    dest->failed_cohorts += 1.0 / (double)dest->window;
    if (t->failed_cohort_limit > 0 &&
        dest->failed_cohorts >= (double)t->failed_cohort_limit) {
        destination_suspend(dest, dsn);
        return;
    }
    dest->failure += amount(t->negative_num, t->negative_kind, dest->window);
    while (dest->failure >= HYSTERESIS) {
        dest->failure -= HYSTERESIS;
        dest->success = 0;
        if (dest->window > 1)
            dest->window--;
    }
}
