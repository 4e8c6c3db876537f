/** Texts that the model writes as it learns, the newest first. */
import {byId, element} from './dom';
import type {RunLog} from './run_log';
import {writtenText} from './words';

let ghost: HTMLElement | null = null;
const shown = {log: null as RunLog | null, count: 0, last: -1};

export function showSamples(log: RunLog): void {
  const {samples} = log;
  const last = samples.at(-1)?.step ?? -1;
  if (log === shown.log && samples.length === shown.count && last === shown.last) return;
  const isLonger = log === shown.log && samples.length > shown.count && last >= shown.last;
  const from = isLonger ? shown.count : 0;
  Object.assign(shown, {log, count: samples.length, last});
  const list = byId('samples');
  // a word of what will be there, until it is
  ghost ??= byId('samples-ghost');
  if (from === 0) list.replaceChildren(...(samples.length === 0 ? [ghost] : []));
  for (const sample of samples.slice(from)) {
    const {step, prompt, isAnswer} = sample;
    const text = writtenText(sample);
    list.prepend(
      element(
        'article',
        {},
        element('h4', {textContent: step === 0 ? 'Before training' : `After step ${step}`}),
        element(
          'p',
          {},
          element('b', {textContent: prompt}),
          isAnswer ? `\n${text.trimStart()}` : text,
        ),
      ),
    );
  }
}
