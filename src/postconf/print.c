#include <stdio.h>

#include "postconf/postconf.h"

void print_text(const char *text, bool fold)
{
    struct span rest = span_str(text), word;
    size_t column = 0;

    while (span_token(&rest, " \t\r\n", &word)) {
        if (column && fold && column + 1 + word.len > FOLD_COLUMN) {
            fputs("\n" FOLD_INDENT, stdout);
            column = sizeof FOLD_INDENT - 1;
        } else if (column) {
            putchar(' ');
            column++;
        }
        fwrite(word.ptr, 1, word.len, stdout);
        column += word.len;
    }
    putchar('\n');
}
