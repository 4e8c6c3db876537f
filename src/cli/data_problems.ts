/** Messages on the examples of a data file that could not be used. */
import type {DatasetReport, LlamaConfig} from '../llama/index';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import type {Context} from './command';
import {counted} from './words';

/** Problems that are shown; the others are counted. */
const SHOWN = 5;

/** How long rows are, and how long they could be. */
export interface Lengths {
  /** The option; undefined: the default. */
  maxLength: number | undefined;
  config: Pick<LlamaConfig, 'maxPositionEmbeddings'>;
}

/** Writes which examples were dropped or cut, why, and what would help; nothing if none was. */
export function noteDataProblems(
  {console, withFlags}: Context,
  path: string,
  {used, cut, dropped, problems}: DatasetReport,
  {maxLength = textDatasetDefaults.maxLength, config}: Lengths,
): void {
  if (problems.length === 0) return;
  const counts = [dropped > 0 && `${dropped} dropped`, cut > 0 && `${cut} cut`].filter(Boolean);
  console.note(`${path}: of ${counted(used + dropped, 'example')} ${counts.join(', ')}`);
  const inOrder = [...problems].sort((a, b) => a.line - b.line);
  for (const {line, kind, reason} of inOrder.slice(0, SHOWN)) {
    console.note(`  line ${line}, ${kind}: ${withFlags(reason)}`);
  }
  const others = cut + dropped - SHOWN;
  if (others > 0) console.note(`  … and ${others} more`);
  if (cut === 0) return;
  const max = config.maxPositionEmbeddings!;
  const help =
    maxLength < max
      ? `a larger --max-length cuts less, and takes more memory; the model takes up to ${max} tokens`
      : `the model takes no more than ${max} tokens; divide longer examples`;
  console.note(`  ${help}`);
}
