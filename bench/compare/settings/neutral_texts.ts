/**
 * A text that has nothing to do with what is learned: addresses to the Congress of the United States, which are in the public
 * domain and come with an npm package.
 */
import {pretrainingTexts} from '../../../tools/texts';

/**
 * The first thousand characters of `count` addresses: those that the demo holds out, 11 from 1809 to 2008, and then others, from the
 * oldest on.
 */
export function neutralTexts(count: number): object[] {
  const {train, heldOut} = pretrainingTexts();
  // held-out ones first: the demo's model has been trained on the others
  const all = [...heldOut, ...train];
  return all.slice(0, count).map((text) => ({text: text.slice(0, 1000)}));
}
