#include "smtp/smtp.h"

/* One assignment a parameter, for the protocol that the service speaks. */
#define PICK(field) p->field = lmtp ? cfg->lmtp_##field : cfg->smtp_##field

void smtp_params_init(struct smtp_params *p, const struct config *cfg, bool lmtp)
{
    p->lmtp = lmtp;
    PICK(connect_timeout);
    PICK(mail_timeout);
    PICK(rcpt_timeout);
    PICK(data_init_timeout);
    PICK(data_xfer_timeout);
    PICK(data_done_timeout);
    PICK(rset_timeout);
    PICK(quit_timeout);
    PICK(fallback_relay);
    PICK(host_lookup);
    PICK(bind_address);
    PICK(bind_address6);
    PICK(tcp_port);
    PICK(address_preference);
    PICK(mx_address_limit);
    PICK(mx_session_limit);
    PICK(line_length_limit);
    PICK(randomize_addresses);
    PICK(skip_5xx_greeting);
    PICK(skip_quit_response);
    PICK(defer_if_no_mx_address_found);
    PICK(send_dummy_mail_auth);
    PICK(balance_inet_protocols);
    PICK(pix_workarounds);
    p->quote_envelope =
        lmtp ? cfg->lmtp_quote_rfc821_envelope : cfg->smtp_quote_rfc821_envelope;
    p->pix_threshold_time = lmtp ? cfg->lmtp_pix_workaround_threshold_time
                                 : cfg->smtp_pix_workaround_threshold_time;
    p->pix_delay_time = lmtp ? cfg->lmtp_pix_workaround_delay_time
                             : cfg->smtp_pix_workaround_delay_time;
    p->helo_timeout = lmtp ? cfg->lmtp_lhlo_timeout : cfg->smtp_helo_timeout;
    p->helo_name = lmtp ? cfg->lmtp_lhlo_name : cfg->smtp_helo_name;
    p->cache_time = lmtp ? cfg->lmtp_connection_cache_time_limit
                         : cfg->smtp_connection_cache_time_limit;
    p->reuse_time_limit = lmtp ? cfg->lmtp_connection_reuse_time_limit
                               : cfg->smtp_connection_reuse_time_limit;
    p->reuse_count_limit = lmtp ? cfg->lmtp_connection_reuse_count_limit
                                : cfg->smtp_connection_reuse_count_limit;
    p->cache_on_demand = lmtp ? cfg->lmtp_connection_cache_on_demand
                              : cfg->smtp_connection_cache_on_demand;
    p->always_ehlo = lmtp || cfg->smtp_always_send_ehlo;
    p->never_ehlo = !lmtp && cfg->smtp_never_send_ehlo;
}
