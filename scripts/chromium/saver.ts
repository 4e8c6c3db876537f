/** A worker that saves the files of a model again and again, until it is ended: in each save all of them have the same number. */
import {browserStorage} from '../../src/files/browser_storage';
import {openSink} from '../../src/files/open_sink';
import {writeFile} from '../../src/files/sink';
import {PATHS, SIZE} from './killed_saves';

const storage = await browserStorage();
const folder = await storage.getDirectoryHandle('killed', {create: true});
let number = Number(new URL(location.href).searchParams.get('from'));
for (;;) {
  number++;
  const sink = openSink('saver', folder);
  const pieces = Array.from({length: 16}, () => new Uint32Array(SIZE / 64).fill(number));
  const bytes = pieces.map((piece) => new Uint8Array(piece.buffer));
  for (const path of PATHS) await writeFile(sink, path, SIZE, bytes);
  await sink.commit(() => false);
  postMessage(number);
}
