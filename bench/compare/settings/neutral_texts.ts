/**
 * A text that has nothing to do with what is learned: addresses to the Congress of the United States, which are in the public
 * domain and come with an npm package.
 */
import {pretrainingTexts} from '../../../tools/texts';

/** The first thousand characters of `count` addresses, spread over 230 years. */
export function neutralTexts(count: number): object[] {
  const {train, heldOut} = pretrainingTexts();
  // held-out ones first: the demo's model has been trained on the others
  const all = [...heldOut, ...train];
  return all.slice(0, count).map((text) => ({text: text.slice(0, 1000)}));
}
