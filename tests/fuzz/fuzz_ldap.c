/* Keys quoted for LDAP filters and DNs, and lists of servers. What stands in a filter
 * ends no term; the library reads what stands in a DN as the one value that it was; a
 * server that is taken is a URL. Input: the key, or the server. */
#include <stdlib.h>

#include "table/plugins/ldap_query.h"

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The quoted text is the key again, and nothing special is left in it. */
static void check_filter(struct span key)
{
    struct strbuf quoted = STRBUF_INIT;
    size_t at = 0;

    ldap_quote_filter(NULL, &quoted, key);
    for (size_t i = 0; i < quoted.len; i++, at++) {
        int c = (unsigned char)quoted.ptr[i];
        if (c == '\0' || c == '*' || c == '(' || c == ')')
            abort();
        if (c == '\\') {
            if (i + 2 >= quoted.len)
                abort();
            c = hex_digit(quoted.ptr[i + 1]) * 16 + hex_digit(quoted.ptr[i + 2]);
            i += 2;
        }
        if (at >= key.len || c != (unsigned char)key.ptr[at])
            abort();
    }
    if (at != key.len)
        abort();
    strbuf_free(&quoted);
}

/* Only keys in UTF-8 get as far as this (backend_query). */
static void check_dn(struct span key)
{
    struct strbuf base = STRBUF_INIT;
    LDAPDN dn;

    strbuf_add_str(&base, "cn=");
    ldap_quote_dn(NULL, &base, key);
    strbuf_add_str(&base, ",dc=test");
    if (ldap_str2dn(base.ptr, &dn, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS || !dn[1] ||
        dn[2] || dn[0][1] ||
        !span_eq(key, span_of(dn[0][0]->la_value.bv_val, dn[0][0]->la_value.bv_len)))
        abort();
    ldap_dnfree(dn);
    strbuf_free(&base);
}

static void check_server(struct span server)
{
    struct strbuf uri = STRBUF_INIT;
    LDAPURLDesc *url;

    if (!ldap_server_uri(server, 389, &uri)) {
        if (uri.len > 0)
            abort();
        return;
    }
    bool given = ldap_is_ldap_url(uri.ptr) && memmem(server.ptr, server.len, "://", 3);
    if (ldap_url_parse(uri.ptr, &url) == LDAP_URL_SUCCESS) {
        if (!given &&
            (!url->lud_host || url->lud_port <= 0 || (url->lud_dn && url->lud_dn[0])))
            abort();
        ldap_free_urldesc(url);
    } else if (!given) {
        abort();
    }
    strbuf_free(&uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)data, size);

    check_filter(text);
    if (size > 0 && span_is_utf8(text))
        check_dn(text);
    check_server(text);
    return 0;
}
