/* Tables of files: the value names files, and look-ups give their content (postmap -F,
 * server name tables of TLS). */
#ifndef TABLE_VALUE_FILES_H
#define TABLE_VALUE_FILES_H

#include "util/err.h"
#include "util/strbuf.h"

/* names: separated by commas and white space. Append their content, joined by line
 * ends, to base64 in that encoding. err: "open NAME: why". */
bool value_files_read(struct span names, struct strbuf *base64, struct err *err);

#endif
