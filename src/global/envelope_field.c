#include "global/envelope_field.h"

#define TEXT(field, file_attr)                                                         \
    {                                                                                  \
#field, sizeof(#field) - 1, offsetof(struct envelope, field), file_attr        \
    }

const struct envelope_text envelope_texts[] = {
    TEXT(sender, false),
    TEXT(encoding, true),
    TEXT(filter, false),
    TEXT(redirect, false),
    TEXT(full_name, false),
    TEXT(message_id, true),
    TEXT(envelope_id, true),
    TEXT(verp, false),
    TEXT(rewrite_context, true),
    TEXT(log_ident, true),
    TEXT(log_client_name, true),
    TEXT(log_client_address, true),
    TEXT(log_client_port, true),
    TEXT(log_message_origin, true),
    TEXT(log_helo_name, true),
    TEXT(log_protocol_name, true),
    TEXT(client_name, true),
    TEXT(reverse_client_name, true),
    TEXT(client_address, true),
    TEXT(client_port, true),
    TEXT(client_address_type, true),
    TEXT(helo_name, true),
    TEXT(protocol_name, true),
    TEXT(server_address, true),
    TEXT(server_port, true),
    TEXT(sasl_method, true),
    TEXT(sasl_username, true),
    TEXT(sasl_sender, true),
};
const size_t envelope_text_count = ARRAY_LEN(envelope_texts);

const struct envelope_text *envelope_text_find(struct span name)
{
    for (size_t i = 0; i < envelope_text_count; i++)
        if (envelope_texts[i].name_len == name.len &&
            memcmp(envelope_texts[i].name, name.ptr, name.len) == 0)
            return &envelope_texts[i];
    return NULL;
}

void envelope_init(struct envelope *env)
{
    *env = (struct envelope){0};
    for (size_t i = 0; i < envelope_text_count; i++)
        *envelope_text_slot(env, &envelope_texts[i]) = "";
    env->rewrite_context = "local";
}
