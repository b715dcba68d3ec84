/* Encodings of text: for logs, DSN, base64 and friends. All append to sb. */
#ifndef UTIL_ESCAPE_H
#define UTIL_ESCAPE_H

#include "util/strbuf.h"

/* Printable: control characters become replacement; valid UTF-8 kept if utf8. */
void escape_printable(struct strbuf *sb, struct span s, char replacement, bool utf8);
/* C-like: \a \b \f \n \r \t \v \\ \ooo; for "improper command pipelining" and the like.
 */
void escape_c(struct strbuf *sb, struct span s);
/* xtext of RFC 3461: +XX for what is not allowed. */
void xtext_encode(struct strbuf *sb, struct span s);
/* Lenient about what should have been encoded; false for a broken +XX. The result
 * may hold any byte. */
bool xtext_decode(struct strbuf *sb, struct span s);
void base64_encode(struct strbuf *sb, struct span s);
bool base64_decode(struct strbuf *sb, struct span s);
void hex_encode(struct strbuf *sb, struct span s);
void json_string(struct strbuf *sb, struct span s); /* quoted, escaped, UTF-8 safe */

#endif
