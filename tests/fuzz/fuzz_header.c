/* Header lines: what is accepted obeys RFC 5322 and looks up without trouble. */
#include "global/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span line = span_of((const char *)data, size), name, value;

    if (!header_parse_line(line, &name, &value))
        return 0;
    if (name.len == 0 || !span_is_printable(name) || span_chr(name, ':') >= 0 ||
        span_chr(name, ' ') >= 0 || name.len + 1 + value.len > size)
        panic("not a header name");
    const struct header_info *info = header_lookup(name);
    if (info && !span_ieq_str(name, info->name))
        panic("wrong header found");
    return 0;
}
