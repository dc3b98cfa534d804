"""Makes the small model that the seed plants: logistic regression on iris. Run once, with mlflow==3.17.2 and
scikit-learn==1.9.1, in the folder of this file: `python make.py`."""

import pathlib
import shutil

import mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

here = pathlib.Path(__file__).parent
shutil.rmtree(here, ignore_errors=True)
x, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=200).fit(x, y)
mlflow.sklearn.save_model(model, here, pip_requirements=["mlflow==3.17.2", "scikit-learn==1.9.1", "skops==0.16.0"])
print("first rows:", model.predict(x[:3]).tolist())
