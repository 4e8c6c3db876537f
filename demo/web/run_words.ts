/** What a run of the browser's storage is of, in words. */
import {BUILT_IN, builtInModel, filesTitle} from './choice';
import type {RunSummary} from './library';
import {methodTitle} from './settings';
import {texts} from './texts';
import {countText, nameText} from './words';

/** Whether its model is the built-in one. */
function isOfBuiltIn({model}: RunSummary): boolean {
  return model.replace(/[/]$/, '') === builtInModel;
}

export function modelOf(run: RunSummary): string {
  return isOfBuiltIn(run) ? BUILT_IN : filesTitle(run.model.split(', '));
}

export function dataOf({data}: RunSummary): string {
  const title = Object.entries(texts).find(([name]) => data === `${name}.txt`);
  return title?.[1] ?? (data === 'pasted' ? 'pasted examples' : nameText(data));
}

/** The name of a run in a list. */
export function titleOf(run: RunSummary): string {
  return `${methodTitle(run.method)}: ${modelOf(run)} on ${dataOf(run)}`;
}

/** Whether it has left a model that is wanted as it is: it is done, or was stopped once it had made steps. */
export function canBeOpened({state, step}: RunSummary): boolean {
  return state === 'done' || (state === 'stopped' && step > 0);
}

/** What a button says that has it go on; nothing is kept of the steps of one that was broken off early. */
export function goOnLabel({state, step}: RunSummary): string {
  return state === 'interrupted' && step === 0 ? 'Begin it again' : 'Go on';
}

/** What whoever comes back is told of a run that waits for it; null of one that does not, as it was stopped on purpose. */
export function waitingText(run: RunSummary): string | null {
  const {state, step, steps} = run;
  const of = `${modelOf(run)} on ${dataOf(run)}`;
  if (state === 'paused')
    return `A run is paused ${afterStep(step)} of ${countText(steps)}: ${of}.`;
  if (state !== 'interrupted') return null;
  return step === 0
    ? `A run was broken off before its first steps were saved: ${of}.`
    : `A run was broken off, and is saved ${afterStep(step)} of ${countText(steps)}: ${of}.`;
}

/** When that was: after step 18, or before the first step. */
export function afterStep(step: number): string {
  return step === 0 ? 'before the first step' : `after step ${countText(step)}`;
}
