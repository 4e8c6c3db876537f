/** Names of runs. */
import {display} from '../common/options';
import type {WorkerModel} from './options';

/** What is in no name of a folder on some system, means another folder, or is half of a letter, for which a storage puts another one. */
const NO_NAME = /[\\/:*?"<>|\p{Cc}\p{Surrogate}]|^\.|\.$|^$/u;

/** @throws unless a run may have this name. */
export function checkRunName(owner: string, run: unknown): void {
  if (run === null || (typeof run === 'string' && run.length <= 100 && !NO_NAME.test(run))) return;
  throw new Error(
    `${owner}: run must be the name of a folder, of at most 100 letters and none of \\ / : * ? " < > |, or null; got ${display(run)}`,
  );
}

/** That of a run which was given none, made of the model's name and the time: `SmolLM2-135M-Instruct 2026-11-30 23.15.02`. */
export function defaultRunName(model: WorkerModel, now = new Date()): string {
  const text = typeof model === 'string' ? lastPart(model) : fileName(model);
  const name = text.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[.-]+|[.-]+$/g, '') || 'model';
  const time = now.toISOString().slice(0, 19).replace('T', ' ').replaceAll(':', '.');
  // not with half of a letter
  return `${name.slice(0, 70).replace(/\p{Surrogate}$/u, '')} ${time}`;
}

/** Of a name on the Hub or a URL, without a revision. */
function lastPart(place: string): string {
  const path = URL.canParse(place) ? new URL(place).pathname : place.replace(/@.*$/, '');
  return (path.split('/').filter(Boolean).at(-1) ?? '').replace(/\.gguf$/i, '');
}

/** The name of a folder or of a GGUF file. */
function fileName(model: Exclude<WorkerModel, string>): string {
  if (typeof (model as FileSystemDirectoryHandle).name === 'string')
    return (model as FileSystemDirectoryHandle).name;
  const names: string[] =
    model instanceof Map ? [...(model.keys() as Iterable<string>)] : Object.keys(model);
  const gguf = names.find((name) => /\.gguf$/i.test(name));
  return gguf === undefined ? 'model' : gguf.replace(/\.gguf$/i, '');
}
