/** The buttons that give the files of a run that has ended. */
import {byId, onClick, setText} from './dom';
import {downloadModel} from './download';
import {messageOf, wordsOf} from './errors';
import type {FineTuning, SaveForm} from './library';
import type {ReportTitle} from './report';
import type {RunLog} from './run_log';

/** What there is to download. */
export interface Ended {
  run: FineTuning;
  log: RunLog;
  title: ReportTitle;
}

let there: Ended | null = null;
/** Whether files are being written, of which a further download would take the place. */
let isWriting = false;

/** Offers the files of a run; null: there are none. */
export function offerDownloads(ended: Ended | null): void {
  there = ended;
  for (const button of document.querySelectorAll<HTMLButtonElement>('.downloads button')) {
    button.disabled = ended === null;
  }
  if (ended) byId('adapter-item').hidden = ended.title.method !== 'lora';
  say('');
}

for (const form of ['safetensors', 'gguf', 'adapter'] as const)
  onClick(`download-${form}`, () => download(form));
onClick('download-report', () => {
  if (!there) return;
  const {log, title} = there;
  import('./report')
    .then(({downloadReport}) => downloadReport(log, title))
    .catch((error: unknown) => say(messageOf(error)));
});

function download(form: SaveForm): void {
  if (!there || isWriting) return;
  isWriting = true;
  say('Writing the files …');
  downloadModel(there.run, form, 'owlore-model')
    .then(
      () => say('Handed to your downloads.'),
      (error: unknown) => say(wordsOf(error).text),
    )
    .finally(() => (isWriting = false));
}

function say(text: string): void {
  setText(byId('download-note'), text);
}
