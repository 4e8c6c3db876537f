/** The model as files to keep. A zip is written to the browser's storage as it is made, so that no second model is in memory, and stays until a later visit. */
import {downloadZip} from 'client-zip';
import type {FineTuning, SaveForm} from './library';

const TEMPORARY = 'owlore-download';
/** Of this tab: others may download, too. */
const own = `${TEMPORARY} ${Math.random().toString(36).slice(2)}`;

/**
 * Saves the model in a form, and hands it to the browser's downloads as one file. What the run has kept of it for that goes away, unless
 * the download reads it itself: then when the run is opened again.
 */
export async function downloadModel(run: FineTuning, form: SaveForm, name: string): Promise<void> {
  const files = [...(await run.save(form))];
  const gguf = form === 'gguf' && files.length === 1 ? files[0]![1] : null;
  const answer = gguf
    ? new Response(gguf)
    : downloadZip(
        files.map(([path, input]) => ({name: `${name}/${path}`, input, lastModified: new Date()})),
      );
  const ending = gguf ? '.gguf' : form === 'adapter' ? '-adapter.zip' : '.zip';
  const copy = await stored(answer, form);
  hand(copy ?? gguf ?? (await answer.blob()), name + ending);
  if (copy || !gguf) await run.deleteSaved();
}

/** Hands a file to the browser's downloads. */
export function hand(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // Browsers begin to read some time after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 600_000);
}

/** The body of an answer as a file of the browser's storage; null where nothing can be written there. */
async function stored(answer: Response, form: SaveForm): Promise<Blob | null> {
  const root = await navigator.storage?.getDirectory?.().catch(() => null);
  if (root) await showLife();
  const handle = await root?.getFileHandle(`${own} ${form}`, {create: true});
  if (!handle || !('createWritable' in handle)) return null;
  await answer.body!.pipeTo(await handle.createWritable());
  return handle.getFile();
}

let living: Promise<void> | undefined;

/** Shows other tabs that this one is there, as long as it is. */
function showLife(): Promise<void> {
  return (living ??= new Promise((resolve, reject) => {
    navigator.locks
      .request(own, () => {
        resolve();
        return new Promise(() => undefined);
      })
      .catch(reject);
  }));
}

/** Removes what earlier visits have left in the storage, but not what a tab that is there hands to the browser. */
export async function removeTemporary(): Promise<void> {
  const root = await navigator.storage?.getDirectory?.().catch(() => null);
  if (!root) return;
  const names: string[] = [];
  for await (const name of (root as unknown as {keys(): AsyncIterable<string>}).keys())
    if (name.startsWith(TEMPORARY)) names.push(name);
  // asked for after the names: a tab shows its life before it has a file
  const {held = []} = await navigator.locks.query();
  const left = names.filter((name) => !held.some((tab) => name.startsWith(`${tab.name} `)));
  await Promise.all(left.map((name) => root.removeEntry(name).catch(() => undefined)));
}
