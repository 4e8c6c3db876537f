import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {Windows} from './dataset';

/** The mean loss of a compiled model on windows. */
export async function lossOn(
  model: tfl.LayersModel,
  {x, y}: Windows,
  batchSize: number,
): Promise<number> {
  const loss = model.evaluate(x, y, {batchSize}) as tf.Scalar;
  const [value] = await loss.data();
  loss.dispose();
  return value!;
}
