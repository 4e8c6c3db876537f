/** What a run of the browser's storage is of, in words. */
import {BUILT_IN, builtInModel, filesTitle, texts} from './choice';
import type {RunSummary} from './library';
import {nameText} from './words';

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
