/* Replies of a hostile name server. The first byte picks the type that was asked for;
 * the rest is the reply to a question for "mail.example". */
#include <stdlib.h>

#include "dns/dns_internal.h"
#include "dns/dns_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const struct dns_record *rec, enum dns_type type)
{
    if (rec->type != type)
        abort();
    if (type == DNS_MX || type == DNS_SRV || type == DNS_PTR || type == DNS_CNAME) {
        enum dns_name_check check = dns_hostname_check(rec->target);

        if (rec->target.len > 0 && check != DNS_NAME_OK &&
            !(check == DNS_NAME_NUMERIC && type == DNS_MX))
            abort();
    }
    if ((type == DNS_A || type == DNS_AAAA) && rec->addr.len == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A,   DNS_AAAA, DNS_MX,   DNS_PTR,
                                          DNS_TXT, DNS_SRV,  DNS_TLSA, DNS_CNAME};
    struct arena *arena;
    struct dns_result result;
    struct dns_notes notes;
    enum dns_type type;
    size_t count = 0;

    if (size < 1 || size > 65536)
        return 0;
    type = types[data[0] % ARRAY_LEN(types)];
    arena = arena_new();
    dns_parse_reply(arena, span_of((const char *)data + 1, size - 1), type,
                    SPAN_LIT("mail.example"), &result, &notes);
    for (struct dns_record *rec = result.records; rec; rec = rec->next, count++)
        check_record(rec, type);
    for (size_t i = 0; i < notes.count; i++) {
        if (!span_is_printable(span_str(notes.text[i])))
            abort();
    }
    if (count != result.count || (result.status == DNS_OK) != (count > 0))
        abort();
    dns_sort_by_pref(&result);
    arena_free(arena);
    return 0;
}
