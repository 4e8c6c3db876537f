/** Messages on the examples of a data file that could not be used. */
import type {DatasetReport} from '../llama/index';
import type {Context} from './command';

/** Problems that are shown; the others are counted. */
const SHOWN = 5;

/** Writes which examples were dropped or cut, and why; nothing if none was. */
export function noteDataProblems(
  {console, withFlags}: Context,
  path: string,
  {used, cut, dropped, problems}: DatasetReport,
): void {
  if (problems.length === 0) return;
  const counts = [dropped > 0 && `${dropped} dropped`, cut > 0 && `${cut} cut`].filter(Boolean);
  console.note(`${path}: of ${used + dropped} examples ${counts.join(', ')}`);
  const inOrder = [...problems].sort((a, b) => a.line - b.line);
  for (const {line, kind, reason} of inOrder.slice(0, SHOWN)) {
    console.note(`  line ${line}, ${kind}: ${withFlags(reason)}`);
  }
  const others = cut + dropped - SHOWN;
  if (others > 0) console.note(`  … and ${others} more`);
}
