/** Fields of a row: the question, four choices and the letter of the right one. */
const COLUMNS = ['question', 'A', 'B', 'C', 'D', 'answer'];

/**
 * The fields that `readQuestion` expects, from a row of MMLU's original files. The subject is in the file's
 * name: `abstract_algebra_test.csv`.
 *
 * @throws if the row has more or fewer fields, or another answer.
 */
export function mmluFields(row: readonly string[], fileName: string): Record<string, unknown> {
  if (row.length !== COLUMNS.length) {
    throw new Error(
      `a row must have ${COLUMNS.length} fields (${COLUMNS.join(', ')}); got ${row.length}`,
    );
  }
  const [question, ...choices] = row.slice(0, -1);
  const answer = row.at(-1)!.trim();
  if (!/^[A-D]$/.test(answer)) {
    throw new Error(`the answer must be A, B, C or D; got '${answer}'`);
  }
  const subject = fileName.replace(/\.csv$/i, '').replace(/_(dev|test|val)$/, '');
  return {question, choices, answer, subject};
}
