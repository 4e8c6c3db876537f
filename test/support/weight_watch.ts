import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';

/** Sees which weights of a model have moved. */
export class WeightWatch {
  private constructor(
    private readonly model: tfl.LayersModel,
    private before: Map<string, Uint8Array>,
  ) {}

  /** Watches all weights of `model`, at any depth, from now on. */
  static async of(model: tfl.LayersModel): Promise<WeightWatch> {
    return new WeightWatch(model, await bitsOf(model));
  }

  /** Names of the weights of which a bit has changed since the last call, sorted. */
  async moved(): Promise<string[]> {
    const now = await bitsOf(this.model);
    const moved = [...now.keys()].filter((name) => !equal(now.get(name)!, this.before.get(name)!));
    this.before = now;
    return moved.sort();
  }
}

async function bitsOf(model: tfl.LayersModel): Promise<Map<string, Uint8Array>> {
  const bits = new Map<string, Uint8Array>();
  for (const weight of model.weights) {
    const values = await (weight.read() as tf.Variable).data();
    bits.set(
      weight.name,
      Uint8Array.from(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
    );
  }
  return bits;
}

/** The `trainable` flag of every layer, weight and variable, also of those that wrappers and recurrent layers hold. */
export function trainability(model: tfl.LayersModel): Record<string, boolean> {
  const flags: Record<string, boolean> = {};
  const visit = (layer: tfl.layers.Layer, path: string): void => {
    flags[path] = layer.trainable;
    for (const weight of layer.weights) {
      flags[`${path}: ${weight.name}`] = weight.trainable;
      flags[`${path}: ${weight.name}, variable`] = (weight.read() as tf.Variable).trainable;
    }
    for (const child of partsOf(layer)) visit(child, `${path}/${child.name}`);
  };
  visit(model, model.name);
  return flags;
}

function partsOf(layer: tfl.layers.Layer): tfl.layers.Layer[] {
  const {
    layers = [],
    forwardLayer,
    backwardLayer,
    layer: wrapped,
    cell,
  } = layer as Partial<
    Record<'forwardLayer' | 'backwardLayer' | 'layer' | 'cell', tfl.layers.Layer>
  > & {layers?: tfl.layers.Layer[]};
  return [...layers, forwardLayer, backwardLayer, wrapped, cell].filter(
    (part) => part !== undefined,
  );
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
