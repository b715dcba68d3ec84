#include "global/param.h"

#include "param_gen.h"

extern const uint16_t param_index[]; /* generated: slot -> 1 + row, 0 ends a search */

static uint32_t fnv1a(struct span name)
{
    uint32_t value = 2166136261u;

    for (size_t i = 0; i < name.len; i++)
        value = (value ^ (uint8_t)name.ptr[i]) * 16777619u;
    return value;
}

const struct param_row *param_find(struct span name)
{
    for (size_t slot = fnv1a(name) % PARAM_INDEX_SIZE; param_index[slot];
         slot = (slot + 1) % PARAM_INDEX_SIZE) {
        const struct param_row *row = &param_table[param_index[slot] - 1];

        if (span_eq_str(name, row->name))
            return row;
    }
    return NULL;
}

/* The longest suffix counts: x_extra_recipient_limit is not "_recipient_limit". */
const struct param_row *param_find_pattern(struct span name)
{
    const struct param_row *best = NULL;
    size_t best_len = 0;

    for (size_t i = 0; i < param_pattern_count; i++) {
        struct span suffix = span_str(param_patterns[i].name);

        if (suffix.len > best_len && name.len > suffix.len && span_ends(name, suffix)) {
            best = &param_patterns[i];
            best_len = suffix.len;
        }
    }
    return best;
}
