/* main.cf from memory: parse, evaluate every parameter, look for unused names, and
 * edit it. No crash, no leak, no endless expansion; an edit can be read again. */
#include "global/config_internal.h"
#include "global/config_usage.h"
#include "util/msg.h"

static void evaluate(struct config *cfg)
{
    for (size_t i = 0; i < param_count; i++) {
        const struct param_row *row = &param_table[i];
        struct err err;
        const char *text;
        int64_t number;

        /* What is asked from the host costs time and finds nothing. */
        if (row->flags & PARAM_COMPUTED && !cfg->store->builtin[i])
            continue;
        text = config_row_value(cfg, row, &err);
        if (text && row->kind != PARAM_STR && row->kind != PARAM_RAW)
            config_parse_number(row, row->name, text, &number, &err);
        else if (text)
            config_check_length(row, row->name, text, &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_source source = {.dir = "/", .program = "fuzz"};
    struct config *cfg = config_new(&source);
    struct config_usage *usage;
    struct err err;

    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    if (config_parse(cfg, "main.cf", span_of((const char *)data, size), &err)) {
        config_set(cfg, SPAN_LIT("inet_interfaces"), SPAN_EMPTY, 0);
        evaluate(cfg);
        usage = config_usage_new(cfg, NULL);
        config_usage_warn_undefined(usage);
        config_usage_warn_unused(usage);
        config_usage_free(usage);
    }
    config_free(cfg);
    return 0;
}
