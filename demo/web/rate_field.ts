/** The field of the learning rate, which can be set while a run trains. */
import {byId, setText} from './dom';
import type {RunLog} from './run_log';
import {readSetting, settings, whatItTakes} from './settings';
import {rateText} from './words';

const input = byId<HTMLInputElement>('rate');

/** @param set Called with a rate that one sets. */
export function onRateSet(set: (rate: number) => void): void {
  byId('rate-form').addEventListener('submit', (event) => {
    event.preventDefault();
    say(isRight() ? 'set, from the next step on' : whatItTakes(settings.learningRate), !isRight());
    if (isRight()) set(Number(input.value));
    else input.focus(); // else the rate of the next step takes its place
  });
  input.addEventListener('input', () => {
    if (isRight()) sayWhen();
  });
}

export function openRate(isOpen: boolean): void {
  input.disabled = !isOpen;
  byId<HTMLButtonElement>('rate-set').disabled = !isOpen;
}

/** Shows the rate of the last step, or that of the next, unless somebody is typing another one. */
export function showRate({info, rate, outcome}: RunLog): void {
  if (document.activeElement === input) return;
  input.value = rate === undefined ? '' : rateText(rate);
  if (outcome) say('of the last step', false);
  else if (!info || input.ariaInvalid === 'true') sayWhen();
}

function isRight(): boolean {
  return readSetting('learningRate', input.value.trim()) !== null;
}

function sayWhen(): void {
  say('from the next step', false);
}

function say(note: string, isWrong: boolean): void {
  input.ariaInvalid = String(isWrong);
  setText(byId('rate-note'), note);
}
