/** What the page of `storage.ts` reads of a Hub: a download that breaks off, the rest of it, and all without the Hub. */
import {parseHubName} from '../../src/files/hub_name';
import {readWhole} from '../../src/files/source';
import {deleteKeptModel, listKeptModels, type KeptModel} from '../../src/llama/hub/kept_models';
import {openKept} from '../../src/llama/hub/kept_source';
import type {HubOptions} from '../../test/llama/hub/hub_server';

export const MODEL = 'owner/some-model';
export const FILE = 'model.safetensors';
export const BYTES = 300_000;
export const CUT = 130_000;

/** What the page found. */
export interface KeptModels {
  /** Why the first download ended. */
  brokenOff: string;
  /** The bytes with which the second one began. */
  from: number;
  /** The sums of the bytes: of the second one, and without the Hub. */
  sums: number[];
  kept: KeptModel[];
  /** The models after they were deleted. */
  left: number;
}

export async function keptModels(endpoint: string): Promise<KeptModels> {
  const seen: number[] = [];
  let isToBreakOff = true;
  const read = async (): Promise<number> => {
    const source = await openKept('test', parseHubName(MODEL)!, {
      ...{endpoint, pauses: []},
      onDownload: (_, bytes) => {
        seen.push(bytes);
        if (isToBreakOff && bytes === CUT) void setHub('cut');
      },
    });
    const bytes = await readWhole('test', source, FILE, BYTES);
    return bytes!.reduce((sum, byte) => sum + byte, 0);
  };
  await setHub({cutAfter: CUT, waitsToCut: true});
  const brokenOff = await read().then(
    () => 'not at all',
    (error: unknown) => (error as Error).message,
  );
  isToBreakOff = false;
  await setHub({});
  seen.length = 0;
  const second = await read();
  await setHub({status: 503});
  const sums = [second, await read()];
  const kept = await listKeptModels();
  await deleteKeptModel(MODEL);
  return {brokenOff, from: seen[0]!, sums, kept, left: (await listKeptModels()).length};
}

/** Has the Hub answer otherwise, or cut the connection. */
async function setHub(options: HubOptions | 'cut'): Promise<void> {
  await fetch('/progress', {method: 'POST', body: JSON.stringify(options)});
}
