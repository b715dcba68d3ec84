#include "dns/dns_name.h"

#include <arpa/inet.h>

static bool is_name_char(char c)
{
    return ascii_alnum(c) || c == '-' || c == '_';
}

static enum dns_name_check check_label(struct span label)
{
    if (label.len == 0 || label.len > DNS_LABEL_MAX)
        return DNS_NAME_BAD_LABEL;
    for (size_t i = 0; i < label.len; i++) {
        if (!is_name_char(label.ptr[i]))
            return DNS_NAME_BAD_CHARACTER;
    }
    if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return DNS_NAME_BAD_LABEL;
    return DNS_NAME_OK;
}

static enum dns_name_check check_labels(struct span name, bool *numeric_out)
{
    *numeric_out = false;
    if (name.len == 0)
        return DNS_NAME_EMPTY;
    if (name.len > DNS_NAME_MAX)
        return DNS_NAME_TOO_LONG;
    if (name.ptr[name.len - 1] == '.')
        return DNS_NAME_BAD_LABEL;
    *numeric_out = true;
    while (name.ptr) {
        struct span label = span_cut(&name, '.');
        enum dns_name_check check = check_label(label);

        if (check != DNS_NAME_OK)
            return check;
        *numeric_out = *numeric_out && span_all_digits(label);
    }
    return DNS_NAME_OK;
}

enum dns_name_check dns_hostname_check(struct span name)
{
    bool numeric;
    enum dns_name_check check = check_labels(name, &numeric);

    return check == DNS_NAME_OK && numeric ? DNS_NAME_NUMERIC : check;
}

bool dns_domain_valid(struct span name)
{
    bool numeric;

    return check_labels(name, &numeric) == DNS_NAME_OK;
}

const char *dns_name_check_text(enum dns_name_check check)
{
    static const char *const text[] = {
        [DNS_NAME_OK] = "valid host name",
        [DNS_NAME_EMPTY] = "empty host name",
        [DNS_NAME_TOO_LONG] = "host name too long",
        [DNS_NAME_BAD_CHARACTER] = "invalid character in host name",
        [DNS_NAME_BAD_LABEL] = "misplaced dot or hyphen in host name",
        [DNS_NAME_NUMERIC] = "numeric host name",
    };

    return text[check];
}

static bool address_valid(int family, struct span text)
{
    char buf[INET6_ADDRSTRLEN];
    unsigned char bytes[16];

    if (text.len == 0 || text.len >= sizeof buf || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(buf, text.ptr, text.len);
    buf[text.len] = '\0';
    return inet_pton(family, buf, bytes) == 1;
}

bool dns_ipv4_valid(struct span text)
{
    return address_valid(AF_INET, text);
}

bool dns_ipv6_valid(struct span text)
{
    return address_valid(AF_INET6, text);
}

bool dns_literal_valid(struct span text)
{
    if (text.len < 2 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
        return false;
    text = span_of(text.ptr + 1, text.len - 2);
    if (span_istarts(text, SPAN_LIT("IPv6:")))
        return dns_ipv6_valid(span_skip(text, 5));
    return dns_ipv4_valid(text);
}
