import type * as tfl from '@tensorflow/tfjs-layers';
import {CARD_FILE, cardText, type ModelCard} from './model_card';
import {originOf} from './origin';

/**
 * The card of adapters, as a file beside those of `Lora.save`; peft writes one, too.
 *
 * @param model The model that they are for, whose license the card has, unless it says another.
 * @param card `baseModel` is where peft finds that model; default: nowhere, as it may be no model of the Hub.
 */
export function adapterCard(
  model: tfl.LayersModel,
  card: ModelCard,
): [path: string, bytes: Uint8Array] {
  const license = originOf(model)?.base.license ?? {};
  return [CARD_FILE, new TextEncoder().encode(cardText(card, {license}, 'adapter'))];
}
