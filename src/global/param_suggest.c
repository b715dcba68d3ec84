/* "Did you mean ...?" for names that nothing reads. */
#include <stdlib.h>

#include "global/param.h"

#define NAME_MAX_LEN 64 /* longer names are not typing errors of ours */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned best = a < b ? a : b;

    return best < c ? best : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours from a to b, or
 * something above limit. */
static unsigned edit_distance(struct span a, struct span b, unsigned limit)
{
    unsigned rows[3][NAME_MAX_LEN + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2], *spare;

    for (size_t j = 0; j <= b.len; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned best = row[0] = (unsigned)i;

        for (size_t j = 1; j <= b.len; j++) {
            char ca = ascii_lower(a.ptr[i - 1]), cb = ascii_lower(b.ptr[j - 1]);

            row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == ascii_lower(b.ptr[j - 2]) &&
                cb == ascii_lower(a.ptr[i - 2]) && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
            best = row[j] < best ? row[j] : best;
        }
        if (best > limit)
            return best;
        spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.len];
}

const char *param_suggest(struct span name)
{
    unsigned best = name.len < 8 ? 2 : name.len < 16 ? 3 : 4;
    const char *found = NULL;

    if (name.len < 3 || name.len > NAME_MAX_LEN)
        return NULL;
    for (size_t i = 0; i < param_count + param_legacy_count; i++) {
        struct span other = span_str(param_table[i].name);
        unsigned distance;

        if (other.len > NAME_MAX_LEN || other.len + best <= name.len ||
            name.len + best <= other.len)
            continue;
        distance = edit_distance(name, other, best);
        if (distance < best) {
            best = distance;
            found = param_table[i].name;
        }
    }
    return found;
}
