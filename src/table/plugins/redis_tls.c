#include <openssl/err.h>

#include "table/plugins/redis_conn.h"

static bool set(const char *value)
{
    return value && *value;
}

static bool fail(const char *what, const char *file, struct err *err)
{
    const char *reason = ERR_reason_error_string(ERR_get_error());

    ERR_clear_error();
    return err_set(err, "%s %s: %s", what, file, reason ? reason : "unknown error");
}

static bool load_trust(SSL_CTX *ctx, const struct redis_tls_attrs *attrs,
                       struct err *err)
{
    if (set(attrs->ca_file) && !SSL_CTX_load_verify_file(ctx, attrs->ca_file))
        return fail("tls_ca_cert_file", attrs->ca_file, err);
    if (set(attrs->ca_dir) && !SSL_CTX_load_verify_dir(ctx, attrs->ca_dir))
        return fail("tls_ca_cert_dir", attrs->ca_dir, err);
    if (!set(attrs->ca_file) && !set(attrs->ca_dir))
        SSL_CTX_set_default_verify_paths(ctx);
    return true;
}

static bool load_identity(SSL_CTX *ctx, const struct redis_tls_attrs *attrs,
                          struct err *err)
{
    if (!set(attrs->cert))
        return true;
    const char *key = set(attrs->key) ? attrs->key : attrs->cert;
    if (SSL_CTX_use_certificate_chain_file(ctx, attrs->cert) != 1)
        return fail("tls_cert", attrs->cert, err);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return fail("tls_key", key, err);
    return true;
}

SSL_CTX *redis_tls_new(const struct redis_tls_attrs *attrs, struct err *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx) {
        fail("TLS", "library", err);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, attrs->require_cert ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       NULL);
    if (load_trust(ctx, attrs, err) && load_identity(ctx, attrs, err))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
