/* master.cf from memory, with the search for unused names behind it. */
#include "global/config_internal.h"
#include "global/config_usage.h"
#include "util/msg.h"

static void check_entry(const struct master_entry *entry)
{
    if (!*entry->name || !*entry->command || entry->process_limit < 0 ||
        entry->wakeup_s < 0)
        panic("an entry that should not have passed");
    for (size_t i = 0; i < entry->argc; i++)
        if (!entry->argv[i])
            panic("a missing argument");
    if (entry->argv[entry->argc])
        panic("arguments without an end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_source source = {.dir = "/", .program = "fuzz"};
    struct config *cfg = config_new(&source);
    struct config_usage *usage;
    struct master_cf *mcf;
    struct err err;

    msg_set_sink(MSG_SINK_FILE, "/dev/null");
    mcf = master_cf_parse(NULL, "master.cf", span_of((const char *)data, size), &err);
    if (mcf) {
        for (size_t i = 0; i < mcf->count; i++)
            check_entry(&mcf->entries[i]);
        usage = config_usage_new(cfg, mcf);
        config_usage_warn_undefined(usage);
        config_usage_warn_unused(usage);
        config_usage_free(usage);
        master_cf_free(mcf);
    }
    config_free(cfg);
    return 0;
}
