/** Messages on the examples of a data file that could not be used. */
import type {DatasetReport, LlamaConfig} from '../llama/index';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {problemText, worstFirst} from '../llama/text/dataset_report';
import type {Context} from './command';
import {counted} from './words';

/** Kinds of problems that are shown; the others are counted. */
const SHOWN = 5;

/** Of an example that was dropped because its prompt is too long. */
const NO_ROOM = 'leaves no room';

/** How long rows are, and how long they could be. */
export interface Lengths {
  /** The option; undefined: the default. */
  maxLength: number | undefined;
  config: Pick<LlamaConfig, 'maxPositionEmbeddings'>;
}

/** Writes which examples were dropped or cut, why, and what would help; nothing if none was. */
export function noteProblems(
  {console, withFlags}: Pick<Context, 'console' | 'withFlags'>,
  name: string,
  {used, cut, dropped, problems}: DatasetReport,
  {maxLength = textDatasetDefaults.maxLength, config}: Lengths,
): void {
  if (problems.length === 0) return;
  const counts = [dropped > 0 && `${dropped} dropped`, cut > 0 && `${cut} cut`].filter(Boolean);
  console.note(`${name}: of ${counted(used + dropped, 'example')} ${counts.join(', ')}`);
  for (const problem of worstFirst(problems).slice(0, SHOWN)) {
    console.note(`  ${withFlags(problemText(problem))}`);
  }
  const kinds = problems.length - SHOWN;
  if (kinds > 0) console.note(`  … and ${counted(kinds, 'other kind')} of problem`);
  const isTooLong = cut > 0 || problems.some((problem) => problemText(problem).includes(NO_ROOM));
  if (!isTooLong) return;
  const max = config.maxPositionEmbeddings!;
  const help =
    maxLength < max
      ? `a larger --max-length cuts less, and takes more memory; the model takes up to ${max} tokens`
      : `the model takes no more than ${max} tokens; divide longer examples`;
  console.note(`  ${help}`);
}
