/* Keys of tables with fixed keys are stored and looked up without regard to case. */
#ifndef TABLE_FOLD_H
#define TABLE_FOLD_H

#include "util/strbuf.h"

/* The folded key: key itself when there is nothing to change, else buf's content, which
 * is overwritten. utf8: full Unicode case folding (locale-independent) of keys that are
 * well-formed UTF-8; ASCII letters only otherwise. */
struct span fold_key(struct span key, bool utf8, struct strbuf *buf);

#endif
