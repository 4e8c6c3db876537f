/** The name of a run that was given none. */
import type {WorkerModel} from './options';

/** Made of the model's name and the time: `SmolLM2-135M-Instruct 2026-11-30 23.15.02`. */
export function defaultRunName(model: WorkerModel, now = new Date()): string {
  const text = typeof model === 'string' ? lastPart(model) : fileName(model);
  const name = text.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[.-]+|[.-]+$/g, '') || 'model';
  const time = now.toISOString().slice(0, 19).replace('T', ' ').replaceAll(':', '.');
  return `${name.slice(0, 70)} ${time}`;
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
