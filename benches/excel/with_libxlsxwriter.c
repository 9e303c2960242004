/* Writes the cells that cells.py made with libxlsxwriter in its constant memory mode, and prints the seconds that took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xlsxwriter.h>

typedef struct {
    char kind;
    char *text;
    double number;
} Cell;

static const char *const CODES[] = {"@", "#,##0", "yyyy\\-mm\\-dd\\ hh:mm"};
static const int BACKGROUNDS[] = {-1, 0xFBDADA, 0xFFF2C9, 0xE6E6E6};

static int kind_number(char kind) {
    return kind == 't' ? 0 : kind == 'n' ? 1 : 2;
}

static char *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = malloc(size + 1);
    if (!text || fread(text, 1, size, file) != (size_t)size) return NULL;
    text[size] = 0;
    fclose(file);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    char *text = read_all(argv[1]);
    if (!text) return 1;
    char *tmpdir = argv[3];
    char *titles[64];
    double widths[64];
    int columns = 0;
    char *rest = text;
    char *line = strsep(&rest, "\n");
    for (char *title; (title = strsep(&line, "\t"));) {
        if (scanf("%lf", &widths[columns]) != 1) return 2;
        titles[columns++] = title;
    }
    size_t rows = 0;
    for (char *at = rest; *at; at++) rows += *at == '\n';
    Cell *cells = calloc(rows * columns, sizeof(Cell));
    unsigned char *colours = malloc(rows);
    if (!cells || !colours) return 1;
    for (size_t row = 0; row < rows; row++) {
        line = strsep(&rest, "\n");
        colours[row] = atoi(strsep(&line, "\t"));
        for (int column = 0; column < columns; column++) {
            char *field = strsep(&line, "\t");
            Cell *cell = &cells[row * columns + column];
            cell->kind = field[0];
            cell->text = field[1] ? field + 1 : NULL;
            if (cell->text && cell->kind != 't') cell->number = atof(cell->text);
        }
    }

    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    lxw_workbook_options options = {.constant_memory = LXW_TRUE, .tmpdir = tmpdir};
    lxw_workbook *book = workbook_new_opt(argv[2], &options);
    lxw_format *formats[4][3];
    for (int colour = 0; colour < 4; colour++)
        for (int kind = 0; kind < 3; kind++) {
            lxw_format *format = formats[colour][kind] = workbook_add_format(book);
            format_set_num_format(format, CODES[kind]);
            if (colour > 0) {
                format_set_pattern(format, LXW_PATTERN_SOLID);
                format_set_bg_color(format, BACKGROUNDS[colour]);
            }
            if (colour == 3) format_set_font_color(format, 0x595959);
        }
    lxw_format *header = workbook_add_format(book);
    format_set_bold(header);
    format_set_bg_color(header, 0xE7ECEF);
    format_set_bottom(header, LXW_BORDER_THIN);
    format_set_bottom_color(header, 0x8B95A3);
    lxw_worksheet *sheet = workbook_add_worksheet(book, "Statuses");
    worksheet_freeze_panes(sheet, 1, 0);
    worksheet_autofilter(sheet, 0, 0, rows, columns - 1);
    for (int column = 0; column < columns; column++) {
        worksheet_set_column(sheet, column, column, widths[column], NULL);
        worksheet_write_string(sheet, 0, column, titles[column], header);
    }
    for (size_t row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++) {
            const Cell *cell = &cells[row * columns + column];
            lxw_format *format = formats[colours[row]][kind_number(cell->kind)];
            if (!cell->text)
                worksheet_write_blank(sheet, row + 1, column, format);
            else if (cell->kind == 't')
                worksheet_write_string(sheet, row + 1, column, cell->text, format);
            else
                worksheet_write_number(sheet, row + 1, column, cell->number, format);
        }
    if (workbook_close(book) != LXW_NO_ERROR) return 1;
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%f\n", (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    return 0;
}
