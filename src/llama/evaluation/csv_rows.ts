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
 * The rows of a csv file without a header (RFC 4180), in order. Empty lines are skipped.
 *
 * @throws with its line number, if a quote is not closed, or is followed by anything other than a comma; the
 *   rows before it have been yielded by then.
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
