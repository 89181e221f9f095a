"""The Dagster code location: puts assets, jobs, sensors and resources together."""

from __future__ import annotations

import dagster as dg

from jobs.batch import batch_job
from jobs.deploy import deploy_job
from jobs.line import line_job
from resources.store import StoreResource
from sensors.landing import landing_sensor
from vision_assets.dataset.assets import snapshot
from vision_assets.deployment.assets import release
from vision_assets.evaluation.assets import evaluation
from vision_assets.export.assets import bundle
from vision_assets.ingest.assets import frames
from vision_assets.labels.assets import labels
from vision_assets.training.assets import model

defs = dg.Definitions(
    assets=[frames, labels, snapshot, model, evaluation, bundle, release],
    jobs=[batch_job, line_job, deploy_job],
    sensors=[landing_sensor],
    resources={"store": StoreResource(url="")},
    executor=dg.in_process_executor,
)
