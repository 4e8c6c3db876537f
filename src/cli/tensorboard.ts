/** Logs for TensorBoard, which TensorFlow itself can write. */
import * as tf from '@tensorflow/tfjs-core';
import type {RunFolder} from './run_folder';

/** Writes numbers of a run. */
export interface EventWriter {
  /** Numbers of a step, by their names in TensorBoard. */
  scalars(step: number, values: Record<string, number>): void;
  /** Ends the file. */
  close(): void;
}

/** The part of tfjs-node's backend that `tf.node.summaryFileWriter` calls. */
interface SummaryBackend {
  summaryWriter(folder: string): tf.Tensor;
  createSummaryFileWriter(writer: tf.Tensor, folder: string): void;
  writeScalarSummary(writer: tf.Tensor, step: number, name: string, value: number): void;
  executeMultipleOutputs(
    name: string,
    attributes: object[],
    inputs: tf.Tensor[],
    outputs: number,
  ): tf.Tensor[];
}

/**
 * Opens a run's folder of events, without those that are there; null, with nothing removed, if the backend is not tfjs-node's.
 *
 * `tf.node.summaryFileWriter` would never close the file, nor free what it allocates, and cannot be imported, because the
 * backend may be from `@tensorflow/tfjs-node` or `@tensorflow/tfjs-node-gpu`. This makes the same calls.
 */
export function openTensorBoard(run: RunFolder): EventWriter | null {
  const backend: unknown = tf.backend();
  if (!hasSummaries(backend)) return null;
  const writer = run.makeTensorBoard((folder) =>
    tf.tidy(() => {
      const resource = tf.keep(backend.summaryWriter(folder));
      backend.createSummaryFileWriter(resource, folder);
      return resource;
    }),
  );
  return {
    scalars(step, values) {
      for (const [name, value] of Object.entries(values)) {
        backend.writeScalarSummary(writer, step, name, value);
      }
    },
    close() {
      backend.executeMultipleOutputs('CloseSummaryWriter', [], [writer], 0);
      writer.dispose();
    },
  };
}

function hasSummaries(backend: unknown): backend is SummaryBackend {
  return tf.getBackend() === 'tensorflow' && 'summaryWriter' in (backend as object);
}
