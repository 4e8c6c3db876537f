/** The model as files to keep. A zip is written to the browser's storage as it is made, so that no second model is in memory. */
import {downloadZip} from 'client-zip';
import type {FineTuning, SaveForm} from './library';

const TEMPORARY = 'owlore-download';
/** Of this tab: others may download, too. */
const own = `${TEMPORARY} ${Math.random().toString(36).slice(2)}`;

/** Saves the model in a form, and hands its files to the browser's downloads. */
export async function downloadModel(run: FineTuning, form: SaveForm, name: string): Promise<void> {
  const files = await run.save(form);
  const [first, ...others] = files;
  if (first === undefined) throw new Error('there is nothing to download');
  if (form === 'gguf' && others.length === 0) {
    hand(first[1], `${name}.gguf`);
    return;
  }
  const zip = downloadZip(
    [...files].map(([path, input]) => ({name: `${name}/${path}`, input, lastModified: new Date()})),
  );
  hand(await stored(zip), `${name}${form === 'adapter' ? '-adapter' : ''}.zip`);
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

/** The body of an answer as a file of the browser's storage; in memory where there is none. */
async function stored(answer: Response): Promise<Blob> {
  const root = await navigator.storage?.getDirectory?.().catch(() => null);
  if (root) await showLife();
  const handle = await root?.getFileHandle(own, {create: true});
  if (!handle || !('createWritable' in handle)) return answer.blob();
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
  const living = new Set(held.map(({name}) => name));
  const left = names.filter((name) => !living.has(name));
  await Promise.all(left.map((name) => root.removeEntry(name).catch(() => undefined)));
}
