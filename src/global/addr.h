/* Mail addresses. Internal form: unquoted local part, as in queue files; external
 * form: quoted where RFC 5321/5322 demand it, as in SMTP and logs. */
#ifndef GLOBAL_ADDR_H
#define GLOBAL_ADDR_H

#include "util/arena.h"
#include "util/strbuf.h"

/* RFC 5321 length limits are enforced by the protocol code, not here. */

/* Internal -> external ("john doe"@example.com) and back. */
void addr_quote(struct strbuf *sb, struct span internal);
void addr_unquote(struct strbuf *sb, struct span external);

/* Split at the last '@' of an internal address; domain empty when there is none. */
void addr_split(struct span address, struct span *local_out, struct span *domain_out);
/* Split a local part at the first character of recipient_delimiter set: false if no
 * extension (owner-list, list-request, MAILER-DAEMON, double-bounce stay whole). */
bool addr_split_extension(struct span local, const char *delimiters,
                          struct span *user_out, struct span *extension_out);

/* SMTP path of MAIL and RCPT: "<@a,@b:local@dom>" or, when !strict, also
 * "local@dom" and other sloppy forms. Result: internal form. */
enum addr_path { ADDR_PATH_OK, ADDR_PATH_BAD };
/* *rest_out: what follows the path (ESMTP parameters). */
enum addr_path addr_parse_path(struct span text, bool strict, struct arena *arena,
                               struct span *address_out, struct span *rest_out);

/* Does "local@domain" obey the syntax that smtpd accepts (no empty domain parts,
 * valid address literal, lengths, no control characters)? "" and "local" are fine. */
bool addr_is_wellformed(struct span internal);

/* Copy the value of an RFC 5322 address-list header (it may be folded) to out, with
 * every address replaced by rewrite(arg, addr), which takes and returns the internal
 * form: it is quoted here. NULL keeps the original bytes; all else is copied byte by
 * byte, but for source routes ("<@a,@b:user@dom>"), which go. Display names, comments,
 * group names and the empty "<>" are not addresses. Spans given to rewrite live in
 * arena. Also used to extract recipients (sendmail -t: rewrite returns NULL always).
 * Returns whether out differs from value. */
bool addr_header_rewrite(struct span value, struct arena *arena,
                         const char *(*rewrite)(void *arg, struct span internal),
                         void *arg, struct strbuf *out);

/* True when rewriting with any local settings leaves the address as it is: plain
 * dot-atom local part without ! and %, domain with at least one dot, no trailing
 * dot, no quotes or source route. Saves an IPC call for nearly all mail. */
bool addr_is_canonical(struct span internal);

#endif
