import Papa from 'papaparse';

/** A row of a csv file. */
export interface CsvRow {
  /** The line in which it begins, from 1. */
  line: number;
  fields: string[];
}

interface ParsedRow extends CsvRow {
  error: {line: number; message: string} | null;
}

/**
 * The rows of a csv file without a header (RFC 4180), in order. Empty lines are passed over.
 *
 * @throws at a quote that is not closed or that something but a comma follows, with its line; the rows
 *   before it have been given by then.
 */
export function* csvRows(owner: string, text: string): Generator<CsvRow> {
  for (const {line, fields, error} of parse(text)) {
    if (error) throw new Error(`${owner}: line ${error.line}: ${error.message}`);
    if (fields.length > 1 || fields[0] !== '') yield {line, fields};
  }
}

function parse(text: string): ParsedRow[] {
  const rows: ParsedRow[] = [];
  let [from, line] = [0, 1];
  Papa.parse<string[]>(text, {
    delimiter: ',',
    step: ({data, errors: [first], meta: {cursor}}) => {
      const error = first && {
        line: line + lineBreaks(text.slice(from, first.index)),
        message: first.message,
      };
      rows.push({line, fields: data, error: error ?? null});
      line += lineBreaks(text.slice(from, cursor));
      from = cursor;
    },
  });
  return rows;
}

function lineBreaks(text: string): number {
  return text.match(/\r\n|\r|\n/g)?.length ?? 0;
}
