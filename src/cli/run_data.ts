/** Which data a run has, so that one that goes on does so with the same. */
import type {Candidate} from '../checkpoint/check_fits';
import {ifGood, listManifests, readManifest} from '../checkpoint/manifest';
import {isObject, show} from '../files/json';
import type {CommandConsole} from './console';
import {areContents, type DataContents} from './data_contents';
import type {FinetuneSettings} from './finetune_options';
import {filesOfRun} from './run_files';
import {UsageError} from './usage_error';
import {counted} from './words';

/** What a checkpoint says of the data of its run. */
export interface RunData {
  /** The file of `--data`. */
  data: DataContents;
  /** That of `--validation`, or the part of the data that is held out. */
  heldOut: DataContents | number;
  /** SHA-256 of the rows of what is held out, by which another tokenizer or template is noticed. */
  heldOutTokens: string;
}

/** The newest checkpoint of a run that is not damaged, by its manifest alone; null if there is none. */
export async function newestCheckpoint(run: string): Promise<Candidate | null> {
  const {checkpoints} = filesOfRun(run);
  const damages: string[] = []; // which are told when the training goes on from an older one
  for (const file of await listManifests(OWNER, checkpoints)) {
    const manifest = await ifGood(OWNER, file.path, damages, () =>
      readManifest(OWNER, checkpoints, file),
    );
    if (manifest) return {path: file.path, manifest};
  }
  return null;
}

const OWNER = 'resumeCheckpoint';

/**
 * Compares the data of a run that goes on with what its checkpoint says of them. With `--force` a note is all
 * that comes of a difference.
 *
 * @throws UsageError that names what differs.
 */
export function checkSameData(
  {manifest: {extra}}: Candidate,
  is: RunData,
  settings: Pick<FinetuneSettings, 'data' | 'validation' | 'force' | 'resume'>,
  console: CommandConsole,
): void {
  const {force, resume} = settings;
  const was = isObject(extra) ? extra['data'] : undefined;
  if (!isRunData(was))
    throw new Error(`${resume}: its checkpoint has no data of a run in extra; got ${show(was)}`);
  const changes = changesOf(was, is, settings);
  if (changes.length === 0) return;
  const what = `the run in ${resume} had other data: ${changes.join('; ')}`;
  if (!force) {
    throw new UsageError(`finetune: ${what}; give it those of then, or go on with --force`);
  }
  console.note(`${what}; it goes on with these, by --force`);
}

function isRunData(value: unknown): value is RunData {
  if (!isObject(value)) return false;
  const {data, heldOut, heldOutTokens} = value;
  return (
    areContents(data) &&
    (typeof heldOut === 'number' || areContents(heldOut)) &&
    typeof heldOutTokens === 'string'
  );
}

function changesOf(
  was: RunData,
  is: RunData,
  {data, validation}: Pick<FinetuneSettings, 'data' | 'validation'>,
): string[] {
  const changes = changeOf(data, was.data, is.data);
  const part = (heldOut: RunData['heldOut']): string =>
    typeof heldOut === 'number' ? `a part of ${heldOut} of the data` : 'a file';
  if (typeof was.heldOut === 'object' && typeof is.heldOut === 'object')
    changes.push(...changeOf(validation!, was.heldOut, is.heldOut));
  else if (was.heldOut !== is.heldOut)
    changes.push(`held out was ${part(was.heldOut)}, and is ${part(is.heldOut)}`);
  if (changes.length === 0 && was.heldOutTokens !== is.heldOutTokens)
    changes.push('the tokenizer or the chat template of the model makes other tokens of them');
  return changes;
}

function changeOf(path: string, was: DataContents, is: DataContents): string[] {
  if (was.examples !== is.examples)
    return [`${path} had ${counted(was.examples, 'example')}, and has ${is.examples}`];
  if (was.sha256 === is.sha256) return [];
  const count = counted(is.examples, 'example');
  return [`${path} has ${count} as then, but others, or in another order`];
}
